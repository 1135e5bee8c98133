// The service as a person starts it.
import '../../cli.test.ts'
import '../../database/embedded.test.ts'
