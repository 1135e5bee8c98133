// The statements of batches and barriers against each other.
import '../races/claim.test.ts'
import '../races/decrement.test.ts'
import '../races/generation.test.ts'
import '../races/lock.test.ts'
