// How numbers, times and names are written. Pure: the moment comes in as an argument.

const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

/** @param {number} value */
export const count = (value) => plain.format(value);

/** Thousandths of a core, as cores. @param {number} milli */
export const cores = (milli) => plain.format(milli / 1000);

/** @param {number} value */
export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let at = 0;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return `${value >= 100 ? Math.round(value) : plain.format(Math.round(value * 10) / 10)} ${units[at]}`;
}

/** A price's digits, no more than a reader needs; the rest is in its title. @param {string} text */
export function amount(text) {
  const [whole, part = ""] = text.split(".");
  const digits = part.slice(0, 4).replace(/0+$/, "");
  const grouped = whole.replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  return digits ? `${grouped}.${digits}` : grouped;
}

/** A length of time in its two largest units. @param {number} seconds */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, size]) => whole >= Number(size));
  const [name, size] = units[first];
  const large = Math.floor(whole / Number(size));
  const next = units[first + 1];
  if (!next || large >= 10) return `${large} ${name}`;
  const small = Math.floor((whole % Number(size)) / Number(next[1]));
  return small ? `${large} ${name} ${small} ${next[0]}` : `${large} ${name}`;
}

/** How far a moment is from `now`, in words. @param {number} at @param {number} now milliseconds */
export function relative(at, now) {
  const seconds = (at - now) / 1000;
  if (Math.abs(seconds) < 1.5) return "now";
  return seconds < 0 ? `${duration(-seconds)} ago` : `in ${duration(seconds)}`;
}

/** The time of day in UTC, with the date when it is another. @param {number} at @param {number} now */
export function utc(at, now) {
  const text = new Date(at).toISOString();
  const day = text.slice(0, 10);
  const time = `${text.slice(11, 19)} UTC`;
  return day === new Date(now).toISOString().slice(0, 10) ? time : `${day} ${time}`;
}

/** The start and the end of an address. @param {string} address */
export const short = (address) =>
  address.length > 18 ? `${address.slice(0, 9)}…${address.slice(-5)}` : address;

/** `owner/dseq/gseq/oseq` with a short owner. @param {string} id */
export function orderName(id) {
  const [owner, ...numbers] = id.split("/");
  return { owner, numbers: numbers.slice(0, 3).join("/") };
}

/** A name of the program's, for people: `insufficient_capacity` becomes `insufficient capacity`. @param {string} name */
export const words = (name) => name.replaceAll("_", " ");

/** @param {string} text */
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
