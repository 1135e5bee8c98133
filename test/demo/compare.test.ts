import t from 'tap'
import { differences } from '../../demo/compare.ts'

const one = { files: 50, unreadable: 0, bytes: 10, sha256: 'aa' }
const two = { files: 7, unreadable: 0, bytes: 20, sha256: 'bb' }

function found(batch_index: number, result: unknown) {
  return { batch_index, state: 'succeeded', result }
}

t.test(
  'equal results in index order have no difference, whatever the order of their members',
  async t => {
    t.strictSame(differences([], []), [])
    const reordered = { sha256: 'bb', bytes: 20, unreadable: 0, files: 7 }
    t.strictSame(differences([one, two], [found(0, one), found(1, reordered)]), [])
  },
)

t.test('another result, a missing batch and one too many are named', async t => {
  t.strictSame(differences([one], [found(0, { ...one, bytes: 11 })]), [
    'batch 0: expected {"files":50,"unreadable":0,"bytes":10,"sha256":"aa"}, found {"files":50,"unreadable":0,"bytes":11,"sha256":"aa"}',
  ])
  t.strictSame(differences([one, two], [found(0, one)]), [
    'batch 1: expected {"files":7,"unreadable":0,"bytes":20,"sha256":"bb"}, found nothing',
  ])
  t.strictSame(differences([one], [found(0, one), found(1, two)]), [
    'batch 1: expected nothing, found {"files":7,"unreadable":0,"bytes":20,"sha256":"bb"}',
  ])
})

t.test('a batch that stands in another place than its index is a difference', async t => {
  t.strictSame(differences([one, two], [found(1, two), found(0, one)]), [
    'place 0: holds batch 1',
    'place 1: holds batch 0',
  ])
})

t.test('one batch too many is a difference even without a result', async t => {
  t.strictSame(differences([one], [found(0, one), found(1, undefined)]), [
    'batch 1: expected nothing, found nothing',
  ])
})
