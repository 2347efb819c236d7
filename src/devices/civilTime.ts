// Calendar arithmetic for the real-time clock: seconds since 1970-01-01 00:00 UTC to date and time, and back.
// Our own, because the host's Date has no place in a machine whose every run must be the same.

export type CivilTime = {
  /** 0..59, 0..59, 0..23. */
  second: number;
  minute: number;
  hour: number;
  /** 1 (Sunday) .. 7. */
  weekday: number;
  /** 1..31. */
  day: number;
  /** 1..12. */
  month: number;
  year: number;
};

const SECONDS_PER_DAY = 86_400;
const DAYS_PER_400_YEARS = 146_097;
/** Days from 0000-03-01 to 1970-01-01: with years that begin in March the leap day comes last. */
const MARCH_0000 = 719_468;

/** Days since 1970-01-01. A day or month outside its range counts on into the next. */
const daysFromDate = (year: number, month: number, day: number): number => {
  const months = year * 12 + month - 3;
  const marchYear = Math.floor(months / 12);
  const leapDays = Math.floor(marchYear / 4) - Math.floor(marchYear / 100) + Math.floor(marchYear / 400);
  const dayOfYear = Math.floor((153 * (months - marchYear * 12) + 2) / 5) + day - 1;
  return marchYear * 365 + leapDays + dayOfYear - MARCH_0000;
};

const dateFromDays = (days: number): Pick<CivilTime, 'day' | 'month' | 'year'> => {
  const shifted = days + MARCH_0000;
  const era = Math.floor(shifted / DAYS_PER_400_YEARS);
  const dayOfEra = shifted - era * DAYS_PER_400_YEARS;
  const leapDays = Math.floor(dayOfEra / 1460) - Math.floor(dayOfEra / 36_524) + Math.floor(dayOfEra / 146_096);
  const yearOfEra = Math.floor((dayOfEra - leapDays) / 365);
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const marchMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9;
  const year = era * 400 + yearOfEra + (month <= 2 ? 1 : 0);
  return { day: dayOfYear - Math.floor((153 * marchMonth + 2) / 5) + 1, month, year };
};

/** Date and time of `epoch` seconds since 1970-01-01 00:00 UTC. */
export const civilTime = (epoch: number): CivilTime => {
  const days = Math.floor(epoch / SECONDS_PER_DAY);
  const seconds = epoch - days * SECONDS_PER_DAY;
  return {
    second: seconds % 60,
    minute: Math.floor(seconds / 60) % 60,
    hour: Math.floor(seconds / 3600),
    // 1970-01-01 was a Thursday.
    weekday: ((((days + 4) % 7) + 7) % 7) + 1,
    ...dateFromDays(days),
  };
};

/** The inverse of civilTime(); the weekday is not looked at. */
export const epochSeconds = (time: CivilTime): number =>
  daysFromDate(time.year, time.month, time.day) * SECONDS_PER_DAY + time.hour * 3600 + time.minute * 60 + time.second;
