// One process for these small files: each of its own would cost two seconds more than its tests.
import './demo/checksum.test.ts'
import './demo/compare.test.ts'
import './demo/progress.test.ts'
import './demo/queue.test.ts'
import './demo/tally.test.ts'
