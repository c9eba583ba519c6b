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

/** Return a number with so many digits that matter, as Python's `:.4g` writes it. */
export function short(value: number, digits: number): string {
  const [factor, power] = value.toExponential(digits - 1).split("e") as [string, string];
  const exponent = Number(power);
  if (exponent >= -4 && exponent < digits) return String(Number(value.toPrecision(digits)));
  return `${Number(factor)}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

/** Return a number as Python writes one in double precision: whole numbers with a point. */
export function written(value: number): string {
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}

/** Return the value below which a share of sorted values lies, between two of them by their distances, as numpy.quantile does. */
export function quantile(sorted: readonly number[], share: number): number {
  const place = share * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(place)]!, sorted[Math.ceil(place)]!];
  return low + (high - low) * (place - Math.floor(place));
}
