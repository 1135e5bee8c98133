import { setTimeout as rest } from 'node:timers/promises'

/** Asks until there is an answer; undefined if none came within `forMs`. */
export async function poll<Answer>(
  ask: () => Promise<Answer | undefined>,
  { everyMs = 25, forMs = Infinity } = {},
): Promise<Answer | undefined> {
  const deadline = performance.now() + forMs
  for (;;) {
    const answer = await ask()
    if (answer !== undefined || performance.now() > deadline) return answer
    await rest(everyMs)
  }
}
