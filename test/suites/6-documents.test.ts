// What people read, against what runs.
import '../documents/bodies.test.ts'
import '../documents/dockerfile.test.ts'
import '../documents/limits.test.ts'
import '../documents/openapi.test.ts'
import '../documents/packages.test.ts'
import '../documents/pages.test.ts'
import '../documents/readme.test.ts'
import '../documents/worker.test.ts'
