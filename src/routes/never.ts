interface Case {
  /** Members that are all there, … */
  required?: string[]
  /** … with these values, where they are there. */
  properties?: Record<string, object>
}

/**
 * For `meta` of a body: the cases in which its members do not go together. With `oneOf` generators would make a class of each
 * choice; `not` they pass over, and validators know it.
 */
export function never(...cases: Case[]): { not: object } {
  const anyOf = cases.map(({ required, properties }) => ({
    ...(required && { required }),
    // Linters want each name that is required to be a property beside it.
    properties: { ...Object.fromEntries((required ?? []).map(name => [name, {}])), ...properties },
  }))
  return { not: { anyOf } }
}
