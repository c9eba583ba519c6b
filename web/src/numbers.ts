/** Numbers made and written as NumPy and Python do it, so that bytes and warnings are the same there and here. */

/** Return the nearest whole number; of two that are as near, the even one, as numpy.rint does. */
export function roundHalfEven(value: number): number {
  const up = Math.round(value);
  return up - value === 0.5 && up % 2 !== 0 ? up - 1 : up;
}

/** Return a number with so many decimals; of two that are as near, the even one, as Python's `:.2f` writes it. */
export function fixed(value: number, decimals: number): string {
  const halves = value * 2 ** (decimals + 1); // a number lies halfway between two decimals only if this is odd
  if (Math.abs(halves % 2) !== 1) return value.toFixed(decimals);
  return (roundHalfEven(value * 10 ** decimals) / 10 ** decimals).toFixed(decimals);
}

export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let at = 0; at < values.length; at++) sum += values[at]!;
  return sum / values.length;
}

/** Return the standard deviation. */
export function spread(values: ArrayLike<number>): number {
  const middle = mean(values);
  return Math.sqrt(mean(Array.from(values, (value) => (value - middle) ** 2)));
}
