// SPDX-License-Identifier: MIT

/** Numbers as people read them. */

const BYTE_UNITS = [' B', ' KiB', ' MiB', ' GiB', ' TiB', ' PiB'];
const GROUPED = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** Three digits: 1.23, 12.3, 123. */
function three(value: number): string {
    const size = Math.abs(value);
    return value.toFixed(size < 9.995 ? 2 : size < 99.95 ? 1 : 0);
}

/** 1,234,567 */
export function count(value: number): string {
    return GROUPED.format(value);
}

/** "1 block", "1,234 blocks" */
export function counted(value: number, one: string, many = `${one}s`): string {
    return `${count(value)} ${value === 1 ? one : many}`;
}

/** "≈ 1,234" where a figure is an estimate. */
export function estimate(text: string, isEstimate: boolean): string {
    return isEstimate ? `≈ ${text}` : text;
}

/** 1,234 below ten thousand, then 12.3 k, 1.23 M, 1.23 G. */
export function shortCount(value: number): string {
    return scaled(value, 1000, ['', ' k', ' M', ' G', ' T'], 10000);
}

/** 512 B, 1.50 KiB, 12.3 MiB */
export function bytes(value: number): string {
    return scaled(value, 1024, BYTE_UNITS, 1000);
}

function scaled(value: number, base: number, units: string[], whole: number): string {
    if (Math.abs(value) < whole) {
        return (
            (Number.isInteger(value) || Math.abs(value) >= 100
                ? GROUPED.format(value)
                : three(value)) + units[0]
        );
    }
    let unit = 0;
    // 999.5 would be rounded to a fourth digit.
    while (unit + 1 < units.length && (Math.abs(value) >= 999.5 || unit === 0)) {
        value /= base;
        unit++;
    }
    return three(value) + units[unit];
}

/** 50.8125 MiB: with as many decimals as `grain` bytes can tell apart. */
export function bytesWithin(value: number, grain: number): string {
    let unit = 0;
    let size = 1;
    while (unit + 1 < BYTE_UNITS.length && value >= size * 1024) {
        size *= 1024;
        unit++;
    }
    const decimals = Math.min(Math.max(Math.ceil(-Math.log10(grain / size) - 0.05), 0), 6);
    const text = (value / size).toFixed(unit === 0 ? 0 : decimals);
    // What is rounded up to 1024 is one of the next unit.
    return Number(text) >= 1024 && unit + 1 < BYTE_UNITS.length
        ? bytesWithin(size * 1024, grain)
        : text + BYTE_UNITS[unit];
}

/** 1,234,567 bytes: for hints, where the exact figure is wanted. */
export function exactBytes(value: number): string {
    return counted(value, 'byte');
}

/** 850 ns, 12.3 µs, 1.23 ms, 12.3 s, 2 min 05 s, 3 h 20 min */
export function duration(ns: number): string {
    if (ns < 999.5) {
        return `${Math.round(ns)} ns`;
    }
    if (ns < 999.5e3) {
        return `${three(ns / 1e3)} µs`;
    }
    if (ns < 999.5e6) {
        return `${three(ns / 1e6)} ms`;
    }
    if (ns < 119.5e9) {
        return `${three(ns / 1e9)} s`;
    }
    const seconds = Math.round(ns / 1e9);
    if (seconds < 7200) {
        return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`;
    }
    const minutes = Math.round(seconds / 60);
    return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

/** A moment of the recording, in seconds with as many decimals as `grain` can tell apart. */
export function moment(ns: number, grain: number): string {
    const decimals = Math.min(Math.max(Math.ceil(-Math.log10(grain / 1e9)), 0), 9);
    return `${(ns / 1e9).toFixed(decimals)} s`;
}

/** 12.3 %, 0.12 %, 100 % */
export function percent(share: number): string {
    if (!Number.isFinite(share)) {
        return '–';
    }
    const value = share * 100;
    return `${value >= 99.95 || value === 0 ? value.toFixed(0) : value >= 9.995 ? value.toFixed(1) : value.toFixed(2)} %`;
}

/** 0x7f12_3400: an address, in groups of four. */
export function address(value: number): string {
    return `0x${Math.round(value)
        .toString(16)
        .replace(/\B(?=(.{4})+$)/g, '_')}`;
}

/** "64 – 127 B": the sizes from `begin` up to the exclusive bound `end`; null: no bound. */
export function sizeClass(begin: number, end: number | null): string {
    if (end === null) {
        return `≥ ${bytes(begin)}`;
    }
    if (end - begin === 1) {
        return bytes(begin);
    }
    if (end <= 1024) {
        return `${begin} – ${end - 1} B`;
    }
    return `${bytes(begin)} – < ${bytes(end)}`;
}

/** "1.00 µs – 10.0 µs"; the last class is of blocks that were never freed. */
export function lifetimeClass(begin: number, end: number | null, isLast: boolean): string {
    if (isLast) {
        return 'never freed';
    }
    if (end === null) {
        return `≥ ${duration(begin)}`;
    }
    return begin === 0 ? `< ${duration(end)}` : `${duration(begin)} – ${duration(end)}`;
}
