// SPDX-License-Identifier: MIT

import * as format from '../data/format';
import type { Pool } from '../data/head';
import type { Report } from '../data/report';
import { el } from '../ui/dom';
import { Table } from '../ui/table';
import type { View } from '../ui/tabs';

/**
 * The program's own pools, those that take from a pool below it. Their figures are of the whole
 * recording.
 */

interface Row {
    pool: Pool;
    depth: number;
}

export class Pools implements View {
    readonly root: HTMLElement;
    private readonly pools: Pool[];
    private readonly table: Table<Row>;

    constructor(report: Report) {
        this.pools = report.recording.head.pools;
        const most = this.pools.reduce((peak, pool) => Math.max(peak, pool.peak_live), 1);
        const number = (key: 'allocations' | 'frees' | 'resets', title: string) => ({
            key,
            title,
            isNumber: true,
            value: (row: Row) => row.pool[key],
            show: (row: Row) => format.count(row.pool[key]),
        });
        this.table = new Table<Row>({
            label: 'Pools',
            sort: '',
            emptyText: 'The program used no pool of libtarn.',
            columns: [
                {
                    key: 'name',
                    title: 'Pool',
                    isNumber: false,
                    value: (row) => row.pool.name,
                    show: (row) =>
                        el(
                            'span',
                            { style: `padding-left: ${row.depth * 1.2}em` },
                            row.pool.name || '(no name)',
                        ),
                },
                {
                    key: 'kind',
                    title: 'Kind',
                    isNumber: false,
                    value: (row) => row.pool.kind,
                    show: (row) => row.pool.kind,
                },
                number('allocations', 'Allocations'),
                number('frees', 'Frees'),
                number('resets', 'Resets'),
                {
                    key: 'peak',
                    title: 'Peak live',
                    isNumber: true,
                    value: (row) => row.pool.peak_live,
                    show: (row) => format.bytes(row.pool.peak_live),
                    exact: (row) => format.exactBytes(row.pool.peak_live),
                    bar: (row) => row.pool.peak_live / most,
                },
                {
                    key: 'live',
                    title: 'Live at end',
                    isNumber: true,
                    value: (row) => row.pool.live_end,
                    show: (row) => format.bytes(row.pool.live_end),
                    exact: (row) => format.exactBytes(row.pool.live_end),
                },
                {
                    key: 'closed',
                    title: 'State',
                    isNumber: false,
                    value: (row) => String(row.pool.closed),
                    show: (row) => (row.pool.closed ? 'destroyed' : 'open at the end'),
                },
            ],
        });
        const note = 'Pools are counted over the whole recording, whatever range is selected.';
        this.root = el('div', {}, el('p', { class: 'note' }, note), this.table.root);
    }

    update(): void {
        this.table.set(this.rows(-1, 0));
    }

    private rows(parent: number, depth: number): Row[] {
        return this.pools.flatMap((pool, i) => {
            // A parent that comes later than its child would be no pool that it could take from.
            const isChild = pool.parent === parent || (parent === -1 && pool.parent >= i);
            return isChild ? [{ pool, depth }, ...this.rows(i, depth + 1)] : [];
        });
    }
}
