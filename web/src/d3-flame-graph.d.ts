// SPDX-License-Identifier: MIT

/** What this page uses of d3-flame-graph and d3-selection, which come without types. */

declare module 'd3-flame-graph' {
    export interface FlameDatum<T> {
        data: T;
        value: number;
        depth: number;
        parent: FlameDatum<T> | null;
        children?: FlameDatum<T>[];
        highlight?: boolean;
    }

    export interface FlameTip<T> {
        (): void;
        show(event: MouseEvent, datum: FlameDatum<T>): void;
        hide(): void;
        destroy(): void;
    }

    export interface FlameChart<T> {
        (selection: unknown): void;
        width(): number;
        width(pixels: number): FlameChart<T>;
        cellHeight(pixels: number): FlameChart<T>;
        inverted(isInverted: boolean): FlameChart<T>;
        resetHeightOnZoom(isReset: boolean): FlameChart<T>;
        transitionDuration(ms: number): FlameChart<T>;
        minFrameSize(pixels: number): FlameChart<T>;
        sort(isByName: boolean): FlameChart<T>;
        setColorMapper(map: (datum: FlameDatum<T>, colour: string) => string): FlameChart<T>;
        setSearchMatch(match: (datum: FlameDatum<T>, term: string) => boolean): FlameChart<T>;
        setSearchHandler(
            handle: (results: FlameDatum<T>[], sum: number, total: number) => void,
        ): FlameChart<T>;
        tooltip(tip: FlameTip<T>): FlameChart<T>;
        search(term: string): void;
        update(tree: T): FlameChart<T>;
    }

    export default function flamegraph<T>(): FlameChart<T>;
}

declare module 'd3-selection' {
    export interface Selection<E extends Element, D> {
        datum(): D;
        datum<N>(value: N): Selection<E, N>;
        call(apply: (selection: unknown) => void): this;
        selectAll<C extends Element, N>(selector: string): Selection<C, N>;
        classed(name: string, is: (datum: D) => boolean): this;
        filter(is: (datum: D) => boolean): this;
        each(run: (this: E, datum: D) => void): this;
    }

    export function select<E extends Element, D>(element: E): Selection<E, D>;
}
