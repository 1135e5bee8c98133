import t from 'tap'
import { buildApp } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'

const app = await buildApp(readConfig({ LOG_LEVEL: 'silent' }), { host: '/nowhere' })
t.teardown(() => app.close())

for (const url of ['/docs', '/docs/']) {
  t.test(`${url} is Swagger UI, and every file it asks for is served from here`, async t => {
    const page = await app.inject(url)
    t.match(page, { statusCode: 200, headers: { 'content-type': /^text\/html/ } })
    t.match(page.body, '<title>Rollcall</title>')
    const files = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(
      ([, file = '']) => new URL(file, `http://here${url}`).pathname,
    )
    t.match(files, ['/docs/static/swagger-ui.css'])
    for (const file of files) t.equal((await app.inject(file)).statusCode, 200, file)
  })
}

t.test('/docs shows the document that /openapi.json serves', async t => {
  const script = await app.inject('/docs/static/start.js')
  t.match(script.body, "url: new URL('../json', document.currentScript.src).href")
  t.equal((await app.inject('/docs/json')).body, (await app.inject('/openapi.json')).body)
})

t.test('a page of /docs loads nothing from elsewhere and is framed by nobody', async t => {
  const { headers } = await app.inject('/docs/')
  const policy = String(headers['content-security-policy'])
  t.match(policy, /default-src 'self';/)
  t.match(policy, /frame-ancestors 'none';/)
  t.notMatch(policy, /https?:|unsafe-eval|script-src/)
  t.notOk((await app.inject('/livez')).headers['content-security-policy'], 'only there')
})

t.test('the pages need no database, and no other method than GET', async t => {
  t.equal((await app.inject('/docs/')).statusCode, 200)
  const refused = await app.inject({ method: 'POST', url: '/docs/' })
  t.match(refused, { statusCode: 405, headers: { allow: 'GET, HEAD' } })
  t.equal(
    (await app.inject('/docs/static/nothing.js')).json<{ code: string }>().code,
    'route_not_found',
  )
})
