// SPDX-License-Identifier: MIT

/** A small generator (mulberry32): the same seed, the same numbers, everywhere. */
export class Random {
    private state: number;

    constructor(seed: number) {
        this.state = seed >>> 0;
    }

    /** At least 0, below 1. */
    next(): number {
        this.state = (this.state + 0x6d2b79f5) >>> 0;
        let t = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
        t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
        return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    }

    /** A whole number, at least 0, below `end`. */
    below(end: number): number {
        return Math.floor(this.next() * end);
    }

    /** Between two sizes, each power of two as likely as the others. */
    logarithmic(low: number, high: number): number {
        return Math.floor(low * (high / low) ** this.next());
    }
}
