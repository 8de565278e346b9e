// SPDX-License-Identifier: MIT

/** The selected range of time, in bins: [begin, end), never empty. */
export interface Range {
    readonly begin: number;
    readonly end: number;
}

export type Listener = (range: Range, isFinal: boolean) => void;

export class Selection {
    private readonly count: number;
    private readonly listeners: Listener[] = [];
    private current: Range;

    constructor(count: number) {
        this.count = count;
        this.current = { begin: 0, end: count };
    }

    get range(): Range {
        return this.current;
    }

    get isWhole(): boolean {
        return this.current.begin === 0 && this.current.end === this.count;
    }

    /**
     * Calls the listener at every change; `isFinal` is false while a range is still being dragged.
     */
    subscribe(listener: Listener): void {
        this.listeners.push(listener);
    }

    /** Selects the bins that [begin, end) touches, at least one. */
    select(begin: number, end: number, isFinal = true): void {
        const first = Math.min(Math.max(Math.floor(Math.min(begin, end)), 0), this.count - 1);
        const last = Math.max(Math.min(Math.ceil(Math.max(begin, end)), this.count), first + 1);
        this.current = { begin: first, end: last };
        for (const listener of this.listeners) {
            listener(this.current, isFinal);
        }
    }

    reset(): void {
        this.select(0, this.count);
    }
}
