const token = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^"{}[\],:]+/gsy

/**
 * The same text for all spellings of a JSON value: the members of its objects are sorted. Numbers are equal if they were sent
 * with the same digits: 1.0 is not 1. It takes JSON as it is kept, without white space and with the fewest escapes.
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
  // Keys differ, so sorting the members sorts by key.
  return first === '[' ? `[${members.join(',')}]` : `{${members.toSorted().join(',')}}`
}
