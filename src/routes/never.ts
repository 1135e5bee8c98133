interface Case {
  /** The case applies if all these members are there … */
  required?: string[]
  /** … and if these members, where they are there, have these values. */
  properties?: Record<string, object>
}

/**
 * Describes, for the `meta` of a body, members that may not stand together. With `oneOf`, generators would make a class of each
 * choice. They pass over `not`, and validators know it.
 */
export function never(...cases: Case[]): { not: object } {
  const anyOf = cases.map(({ required, properties }) => ({
    ...(required && { required }),
    // Linters want each required name to be a property in the same schema.
    properties: { ...Object.fromEntries((required ?? []).map(name => [name, {}])), ...properties },
  }))
  return { not: { anyOf } }
}
