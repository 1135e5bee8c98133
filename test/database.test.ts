// One process for these small files: each of its own would cost two seconds more than its tests.
// embedded.test.ts is long, and runs beside them.
import './database/coalesce.test.ts'
import './database/constraints.test.ts'
import './database/fault.test.ts'
import './database/migrate.test.ts'
import './database/plans.test.ts'
