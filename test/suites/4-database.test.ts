// What Postgres guards, and how statements share runs.
import '../database/coalesce.test.ts'
import '../database/constraints.test.ts'
import '../database/fault.test.ts'
import '../database/home.test.ts'
import '../database/migrate.test.ts'
import '../database/plans.test.ts'
import '../database/shared-reads.test.ts'
import '../database/slots.test.ts'
