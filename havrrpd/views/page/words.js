// The words of the page: durations, times of day, and what a cause means in a sentence.

export const STATES = ["MASTER", "BACKUP", "FAULT", "STOPPED", "INIT"];

export const CAUSES = {
  gateway_lost: "its gateways were lost",
  link_down: "a link went down",
  keepalived_stopped: "keepalived was stopped",
  keepalived_died: "keepalived died",
  peer_resigned: "the MASTER before it resigned",
  peer_silent: "the MASTER before it fell silent",
  preempted: "another MASTER had a priority not below its own",
  drained: "this node was drained",
  failover_requested: "an operator asked for a failover",
  started: "keepalived started",
  address_removed: "a virtual address was taken away",
  unknown: "nothing that was seen explains it",
};

const UNITS = [[86400, "d", 3600, "h"], [3600, "h", 60, "min"], [60, "min", 1, "s"]];

/** As 12 s, 3 min 20 s, 2 h 5 min. `rough`: no seconds beside minutes, and one unit from ten on. */
export function duration(seconds, rough = false) {
  const whole = Math.max(0, Math.floor(seconds));
  for (const [size, unit, smallSize, smallUnit] of UNITS) {
    if (whole < size) continue;
    const many = Math.floor(whole / size), rest = Math.floor((whole % size) / smallSize);
    return `${many} ${unit}` + (rest && !(rough && (many >= 10 || size === 60)) ? ` ${rest} ${smallUnit}` : "");
  }
  return `${whole} s`;
}

/** A round-trip time, as 0.41 ms or 12 ms. */
export function milliseconds(seconds) {
  const ms = seconds * 1000;
  return `${ms < 10 ? ms.toFixed(2) : ms.toFixed(0)} ms`;
}

/** The time of day where the reader is, with the date when that is not today's. */
export function clock(moment, now, { parts = "s" } = {}) {
  const time = new Date(moment), today = new Date(now).toDateString() === time.toDateString();
  const two = number => String(number).padStart(2, "0");
  const hours = `${two(time.getHours())}:${two(time.getMinutes())}`;
  const seconds = parts === "min" ? "" : `:${two(time.getSeconds())}`;
  const ms = parts === "ms" ? `.${String(time.getMilliseconds()).padStart(3, "0")}` : "";
  const date = today ? ""
    : `${time.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} `;
  return date + hours + seconds + ms;
}

/** How far local times are from UTC, as UTC+2 or UTC−3:30. */
export function zone() {
  const minutes = -new Date().getTimezoneOffset();
  if (!minutes) return "UTC";
  const hours = Math.floor(Math.abs(minutes) / 60), rest = Math.abs(minutes) % 60;
  return `UTC${minutes < 0 ? "−" : "+"}${hours}${rest ? `:${String(rest).padStart(2, "0")}` : ""}`;
}

export function counted(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}

/** A difference in milliseconds with its sign, as −12.4 ms or +3.0 ms; a long one as −15 min. */
export function signed(ms) {
  const size = Math.abs(ms), sign = ms < 0 ? "−" : "+";
  return sign + (size < 10000 ? `${size.toFixed(1)} ms` : duration(size / 1000));
}
