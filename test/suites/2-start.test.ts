// The service as a person starts it.
import '../cli.test.ts'
import '../config.test.ts'
import '../database/embedded.test.ts'
import '../database/ownership.test.ts'
