/** Whether a JSON number is read as exactly the number that its digits say, as `1.0` and `1e2` are, and `1e-400` is not. */
export function isExact(text: string, value: number): boolean {
  // True for nearly every number; those in a caller's own JSON are not judged.
  if (String(value) === text) return true
  return Number.isFinite(value) && decimalOf(text) === decimalOf(String(value))
}

/** The digits of a number and their power of ten, without a sign, and without the zeros on either side. */
function decimalOf(text: string): string {
  const [mantissa = '', exponent = '0'] = text.replace(/^-/, '').toLowerCase().split('e', 2)
  const [whole = '', fraction = ''] = mantissa.split('.')
  const digits = (whole + fraction).replace(/^0+/, '')
  let end = digits.length
  // A pattern would try every run of zeros, and a number may have 16 KiB.
  while (end > 0 && digits[end - 1] === '0') end -= 1
  const power = Number(exponent) - fraction.length + digits.length - end
  return end === 0 ? '0' : `${digits.slice(0, end)}e${power}`
}
