// One process for these small files: each of its own would cost two seconds more than its tests.
import './webhook/excerpt.test.ts'
import './webhook/guard.test.ts'
import './webhook/post.test.ts'
import './webhook/resolver.test.ts'
import './webhook/schedule.test.ts'
import './webhook/signature.test.ts'
