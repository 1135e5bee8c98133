const token = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^"{}[\],:]+/gsy

/**
 * One text for all texts of a JSON value: with the members of its objects in order. Numbers are equal when their digits are,
 * as they were sent: 1.0 is not 1. For JSON as it is kept, without white space and with the fewest escapes.
 */
export function canonical(text: string): string {
  token.lastIndex = 0
  return valueFrom(text, next(text))
}

function next(text: string): string {
  return token.exec(text)?.[0] ?? ''
}

function valueFrom(text: string, first: string): string {
  if (first !== '{' && first !== '[') return first
  const members: string[] = []
  for (let piece = next(text); piece !== '}' && piece !== ']' && piece !== ''; piece = next(text)) {
    if (piece === ',') piece = next(text)
    if (first === '[') {
      members.push(valueFrom(text, piece))
    } else {
      next(text)
      members.push(`${piece}:${valueFrom(text, next(text))}`)
    }
  }
  // Keys differ, so this is the order of the keys.
  return first === '[' ? `[${members.join(',')}]` : `{${members.toSorted().join(',')}}`
}
