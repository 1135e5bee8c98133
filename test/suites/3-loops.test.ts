// Delivery and reaper, step by step and raced.
import '../loops/delivery.test.ts'
import '../loops/places.test.ts'
import '../loops/failing-row.test.ts'
import '../loops/large-results.test.ts'
import '../loops/reaper.test.ts'
import '../races/callback.test.ts'
import '../races/reaper.test.ts'
