import { description, version } from '../src/package.ts'

/** What the document says of the whole API. */
export function about(openapi: '3.1.0' | '3.0.3') {
  return {
    info: {
      title: 'Rollcall',
      version,
      description: introduction,
      // 3.0 has no identifier for a license, and 3.1 takes either.
      license:
        openapi === '3.1.0'
          ? { name: 'MIT', identifier: 'MIT' }
          : { name: 'MIT', url: 'https://spdx.org/licenses/MIT.html' },
    },
    servers: [{ url: '/', description: 'Where this document comes from.' }],
    // Until there are keys nobody has to show one.
    security: [],
    tags: [
      {
        name: 'batches',
        description: 'Is this delivery the first? A durable claim for each batch of an execution.',
      },
      {
        name: 'barriers',
        description: 'Are we all done? A counter over the batches of an execution.',
      },
      { name: 'callbacks', description: 'What is due when a barrier closes.' },
      { name: 'health', description: 'For load balancers, orchestrators and people.' },
    ],
  }
}

const introduction = `${description}

A worker lives by two booleans. \`claimed\`: work now. \`settled\`: the message may be acknowledged, nothing is left to do. \
Neither: give the message back and try later.

Whatever is refused is answered with problem details (RFC 9457, \`application/problem+json\`). Its \`code\` says \
what to do, \`status\` is the status of the reply; the status of a batch is \`batch_status\`. Every 5xx says in \`effect\` whether \
the call may have had one. A path that is not here answers 404 \`route_not_found\`, another method than those here 405 \
\`method_not_allowed\` with the header \`Allow\`.

Requests are judged strictly. A member that is not here, a key twice in one object and a number in quotes are refused. A \
caller's own JSON may hold anything but NUL and lone surrogates, which Postgres cannot store: 422 \`unstorable_json\`. How \
large each thing may be is in docs/reference.md, under Limits, because settings change it: beyond it 413 \`payload_too_large\`, or 400 \
where a number of things is meant.`
