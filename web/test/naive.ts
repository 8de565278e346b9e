// SPDX-License-Identifier: MIT

import type { Range } from '../src/data/selection';
import { type Block, type Shape, binOf } from './fixture';

/** What a range comes to, from the blocks themselves: slow, and too simple to be wrong. */
export interface NaiveTotals {
    allocs: number;
    bytes: number;
    frees: number;
    freed: number;
    temporary: number;
    live: number;
    liveBlocks: number;
}

export function naiveTotals(
    { blocks, shape }: { blocks: Block[]; shape: Shape },
    range: Range,
): NaiveTotals {
    const isBefore = (time: number): boolean => time < Infinity && binOf(shape, time) < range.end;
    const isWithin = (time: number): boolean => isBefore(time) && binOf(shape, time) >= range.begin;
    const bytes = (some: Block[]): number => some.reduce((sum, block) => sum + block.size, 0);
    const born = blocks.filter((block) => isWithin(block.begin));
    const died = blocks.filter((block) => isWithin(block.end));
    const live = blocks.filter((block) => isBefore(block.begin) && !isBefore(block.end));
    return {
        allocs: born.length,
        bytes: bytes(born),
        frees: died.length,
        freed: bytes(died),
        temporary: born.filter((block) => block.isTemporary).length,
        live: bytes(live),
        liveBlocks: live.length,
    };
}
