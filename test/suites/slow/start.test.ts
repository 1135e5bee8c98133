// The service as a person starts it.
import '../../build.test.ts'
import '../../cli.test.ts'
import '../../database/embedded.test.ts'
