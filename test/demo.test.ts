// One process for these small files: each of its own would cost two seconds more than its tests.
import './demo/callback.test.ts'
import './demo/checksum.test.ts'
import './demo/compare.test.ts'
import './demo/progress.test.ts'
import './demo/queue.test.ts'
import './demo/receiver.test.ts'
import './demo/tally.test.ts'
import './demo/verdict.test.ts'
