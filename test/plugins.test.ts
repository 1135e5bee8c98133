// One process for these small files: each of its own would cost two seconds more than its tests.
import './plugins/body.test.ts'
import './plugins/errors.test.ts'
import './plugins/methods.test.ts'
import './plugins/readiness.test.ts'
import './plugins/validation.test.ts'
