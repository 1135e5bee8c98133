// The routes of batches and of health in one process, those of barriers and callbacks in another: each file of its own would cost
// two seconds more than its tests, and all in one are the last to end.
import './routes/batches/claim.test.ts'
import './routes/batches/clear.test.ts'
import './routes/batches/finish.test.ts'
import './routes/batches/get.test.ts'
import './routes/batches/heartbeat.test.ts'
import './routes/batches/list.test.ts'
import './routes/batches/release.test.ts'
import './routes/health.test.ts'
