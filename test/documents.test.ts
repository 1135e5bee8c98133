// One process for these small files: each of its own would cost two seconds more than its tests.
import './documents/dockerfile.test.ts'
import './documents/openapi.test.ts'
import './documents/pages.test.ts'
import './documents/readme.test.ts'
