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

/** Return a number as Python writes one in double precision: whole numbers with a point, and powers below 1e-4 and from 1e16 on. */
export function written(value: number): string {
  if (!Number.isFinite(value)) return value > 0 ? "inf" : value < 0 ? "-inf" : "nan";
  const [digits, power] = value.toExponential().split("e") as [string, string];
  const exponent = Number(power);
  if (value === 0 || (exponent >= -4 && exponent < 16)) return Number.isInteger(value) ? value.toFixed(1) : plainly(value);
  return `${digits}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

/** Return a number with as many decimals as tell it from all others, without a power, which JavaScript writes below 1e-6. */
function plainly(value: number): string {
  const text = String(value);
  const power = /^(-?)(\d)(?:\.(\d+))?e-(\d+)$/.exec(text);
  return power === null ? text : `${power[1]}0.${"0".repeat(Number(power[4]) - 1)}${power[2]}${power[3] ?? ""}`;
}

/** Return the value below which a share of sorted values lies, between two of them by their distances, as numpy.quantile does. */
export function quantile(sorted: readonly number[], share: number): number {
  const place = share * (sorted.length - 1);
  const [low, high] = [sorted[Math.floor(place)]!, sorted[Math.ceil(place)]!];
  return low + (high - low) * (place - Math.floor(place));
}
