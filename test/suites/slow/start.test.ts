// The service as a person starts it.
import '../../build.test.ts'
import '../../cli/cli.test.ts'
import '../../database/embedded.test.ts'
