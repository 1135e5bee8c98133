// One process for these small files: each of its own would cost two seconds more than its tests.
import './loops/delivery.test.ts'
import './loops/reaper.test.ts'
