import { description, version } from '../src/package.ts'

/** The part of the document about the whole API. */
export function about(openapi: '3.1.0' | '3.0.3') {
  return {
    info: {
      title: 'Rollcall',
      version,
      description: introduction,
      // A license has an identifier only in 3.1.
      license:
        openapi === '3.1.0'
          ? { name: 'MIT', identifier: 'MIT' }
          : { name: 'MIT', url: 'https://spdx.org/licenses/MIT.html' },
    },
    servers: [{ url: '/', description: 'The service that serves this document.' }],
    // Until there are keys no call needs one.
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
      {
        name: 'callbacks',
        description: 'Is somebody told? The message that is due when a barrier closes.',
      },
      { name: 'health', description: 'For load balancers, orchestrators and people.' },
    ],
  }
}

const introduction = `${description}

A worker acts on two booleans. If \`claimed\`, work now. If \`settled\`, acknowledge the message: nothing is left to do. \
If neither, give the message back and try later.

Every refusal has a body of problem details (RFC 9457, \`application/problem+json\`). Its \`code\` decides what to do. \
\`status\` is the status of the reply; the status of a batch is \`batch_status\`. Every 5xx says in \`effect\` whether \
the call may have had one. An unknown path gets 404 \`route_not_found\`. An unknown method of a known path gets 405 \
\`method_not_allowed\` with the header \`Allow\`.

Requests are judged strictly. An unknown member, a key that comes twice in one object and a number in quotes are refused. A \
caller's own JSON may hold anything except NUL and lone surrogates, which Postgres cannot store: they get 422 \
\`unstorable_json\`. docs/reference.md lists all sizes under Limits, because settings change them. A larger value gets 413 \
\`payload_too_large\`; a larger number of things gets 400.`
