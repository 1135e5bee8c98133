// What only shows with many rows or many receivers.
import '../../database/lookups.test.ts'
import '../../loops/receivers.test.ts'
import '../../routes/batches/clear-many.test.ts'
