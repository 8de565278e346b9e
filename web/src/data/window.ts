// SPDX-License-Identifier: MIT

/**
 * The part of the heap map that is looked at, in columns and rows: zoomed and panned, never outside
 * the map.
 */
export class Window {
    readonly columns: number;
    readonly rows: number;
    x0 = 0;
    x1: number;
    y0 = 0;
    y1: number;

    constructor(columns: number, rows: number) {
        this.columns = columns;
        this.rows = rows;
        this.x1 = columns;
        this.y1 = rows;
    }

    get isWhole(): boolean {
        return this.x0 === 0 && this.y0 === 0 && this.x1 === this.columns && this.y1 === this.rows;
    }

    reset(): void {
        this.show(0, this.columns, 0, this.rows);
    }

    /** Shows these columns and rows, cut to the map. */
    show(x0: number, x1: number, y0: number, y1: number): void {
        [this.x0, this.x1] = fitted(x0, x1, this.columns);
        [this.y0, this.y1] = fitted(y0, y1, this.rows);
    }

    /**
     * Makes what is seen `factorX` by `factorY` times as large, keeping the point at these shares
     * of it in place.
     */
    zoom(factorX: number, factorY: number, shareX: number, shareY: number): void {
        const [x0, x1] = scaled(this.x0, this.x1, factorX, shareX, this.columns);
        const [y0, y1] = scaled(this.y0, this.y1, factorY, shareY, this.rows);
        this.show(x0, x1, y0, y1);
    }

    /** Moves by shares of what is seen. */
    pan(shareX: number, shareY: number): void {
        const dx = shareX * (this.x1 - this.x0);
        const dy = shareY * (this.y1 - this.y0);
        this.show(this.x0 + dx, this.x1 + dx, this.y0 + dy, this.y1 + dy);
    }
}

/**
 * A cell is as wide as the plot at most magnified 16 times over: time within a column is exact only
 * for rects.
 */
const LEAST = 1 / 16;

function scaled(
    low: number,
    high: number,
    factor: number,
    share: number,
    size: number,
): [number, number] {
    const length = Math.min(Math.max((high - low) / factor, LEAST), size);
    const fixed = low + share * (high - low);
    return [fixed - share * length, fixed + (1 - share) * length];
}

function fitted(low: number, high: number, size: number): [number, number] {
    const length = Math.min(high - low, size);
    const start = Math.min(Math.max(low, 0), size - length);
    return [start, start + length];
}
