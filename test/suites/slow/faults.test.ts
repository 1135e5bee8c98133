// Processes that are killed, connections that break, replicas that vanish.
import '../../faults/connection.test.ts'
import '../../faults/delivery.test.ts'
import '../../faults/log.test.ts'
import '../../faults/process.test.ts'
import '../../faults/sockets.test.ts'
import '../../faults/upgrade.test.ts'
