// SPDX-License-Identifier: MIT

import { type ThreadFigures, threadFigures } from '../data/figures';
import * as format from '../data/format';
import type { Report } from '../data/report';
import { el } from '../ui/dom';
import { Table } from '../ui/table';
import type { View } from '../ui/tabs';

/** Which threads allocate in the range. */
export class Threads implements View {
    readonly root: HTMLElement;
    private readonly report: Report;
    private readonly table: Table<ThreadFigures>;
    private allocs = 1;
    private bytes = 1;

    constructor(report: Report) {
        const { recording } = report;
        this.report = report;
        this.table = new Table<ThreadFigures>({
            label: 'Threads',
            sort: 'bytes',
            firstRows: 200,
            emptyText: 'No thread allocated in this range.',
            columns: [
                {
                    key: 'name',
                    title: 'Thread',
                    isNumber: false,
                    value: (row) => recording.threadName(row.index),
                    show: (row) => recording.threadName(row.index),
                },
                {
                    key: 'id',
                    title: 'Id',
                    isNumber: true,
                    value: (row) => recording.head.threads[row.index]?.id ?? 0,
                    show: (row) => String(recording.head.threads[row.index]?.id ?? '–'),
                },
                {
                    key: 'allocs',
                    title: 'Allocations',
                    isNumber: true,
                    value: (row) => row.allocs,
                    show: (row) => format.count(row.allocs),
                    bar: (row) => row.allocs / this.allocs,
                },
                {
                    key: 'bytes',
                    title: 'Bytes',
                    isNumber: true,
                    value: (row) => row.bytes,
                    show: (row) => format.bytes(row.bytes),
                    exact: (row) => format.exactBytes(row.bytes),
                    bar: (row) => row.bytes / this.bytes,
                },
            ],
        });
        this.root = el('div', { class: 'narrow' }, this.table.root);
    }

    update(): void {
        const rows = threadFigures(this.report.recording, this.report.selection.range);
        this.allocs = rows.reduce((most, row) => Math.max(most, row.allocs), 1);
        this.bytes = rows.reduce((most, row) => Math.max(most, row.bytes), 1);
        this.table.set(rows);
    }
}
