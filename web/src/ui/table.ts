// SPDX-License-Identifier: MIT

import { count } from '../data/format';
import { type Child, button, el, fill } from './dom';

/** A table that sorts by any column and shows its first rows until more are asked for. */

export interface Column<T> {
    key: string;
    title: string;
    /** What is said of the column when the pointer rests on its title. */
    hint?: string;
    isNumber: boolean;
    value: (row: T) => number | string;
    show: (row: T) => Child;
    /** Exact figure, where `show` rounds. */
    exact?: (row: T) => string;
    /** A share (0 to 1) that is drawn as a bar behind the figure. */
    bar?: (row: T) => number;
}

export interface TableOptions<T> {
    label: string;
    columns: Column<T>[];
    /** The column to sort by at first; numbers fall, texts rise. "": the order of the rows. */
    sort: string;
    /** Whether that column rises although it is of numbers, as ranks do. */
    isRising?: boolean;
    /** How many rows are shown until more are asked for; 100 unless told. */
    firstRows?: number;
    onSelect?: (row: T) => void;
    emptyText: string;
}

const FIRST_ROWS = 100;

export class Table<T> {
    readonly root: HTMLElement;
    private readonly options: TableOptions<T>;
    private readonly body = el('tbody');
    private readonly heads = new Map<string, HTMLElement>();
    private readonly foot = el('div', { class: 'table-foot' });
    private rows: T[] = [];
    private limit: number;
    private sortKey: string;
    private isFalling: boolean;
    private selected: T | null = null;

    constructor(options: TableOptions<T>) {
        this.options = options;
        this.limit = options.firstRows ?? FIRST_ROWS;
        this.sortKey = options.sort;
        this.isFalling = options.isRising !== true && (this.column(options.sort)?.isNumber ?? true);
        const titles = el('tr');
        for (const column of options.columns) {
            const sorter = button(column.title, () => this.sortBy(column), {
                title: column.hint ?? null,
            });
            const head = el(
                'th',
                { scope: 'col', class: column.isNumber ? 'number' : null },
                sorter,
            );
            this.heads.set(column.key, head);
            titles.append(head);
        }
        const table = el(
            'table',
            { 'aria-label': options.label },
            el('thead', {}, titles),
            this.body,
        );
        this.root = el(
            'div',
            { class: 'table' },
            el('div', { class: 'table-scroll' }, table),
            this.foot,
        );
    }

    /** Shows these rows, and selects the first one if the table's rows can be selected. */
    set(rows: T[]): void {
        this.rows = rows;
        this.selected = null;
        this.render();
    }

    /** The first row as it is sorted now. */
    first(): T | undefined {
        return this.rows[0];
    }

    select(row: T): void {
        this.selected = row;
        for (const line of this.body.rows) {
            line.setAttribute('aria-selected', 'false');
        }
        this.body.rows[this.rows.indexOf(row)]?.setAttribute('aria-selected', 'true');
        this.options.onSelect?.(row);
    }

    private column(key: string): Column<T> | undefined {
        return this.options.columns.find((column) => column.key === key);
    }

    private sortBy(column: Column<T>): void {
        this.isFalling = this.sortKey === column.key ? !this.isFalling : column.isNumber;
        this.sortKey = column.key;
        this.render();
    }

    private sort(): void {
        const column = this.column(this.sortKey);
        if (column === undefined) {
            return;
        }
        const sign = this.isFalling ? -1 : 1;
        this.rows = [...this.rows].sort((a, b) => sign * compare(column.value(a), column.value(b)));
    }

    private render(): void {
        this.sort();
        for (const [key, head] of this.heads) {
            const state =
                key !== this.sortKey ? 'none' : this.isFalling ? 'descending' : 'ascending';
            head.setAttribute('aria-sort', state);
        }
        fill(this.body, ...this.rows.slice(0, this.limit).map((row) => this.line(row)));
        const hidden = this.rows.length - this.limit;
        if (this.rows.length === 0) {
            fill(this.foot, this.options.emptyText);
        } else if (hidden > 0) {
            const until = (limit: number) => () => {
                this.limit = limit;
                this.render();
            };
            fill(
                this.foot,
                button(`Show more (${count(hidden)} left)`, until(this.limit * 4)),
                button('Show all', until(Infinity), { class: 'show-all' }),
            );
        } else {
            fill(this.foot);
        }
    }

    private line(row: T): HTMLTableRowElement {
        const line = el('tr');
        for (const column of this.options.columns) {
            const cell = el('td', { class: column.isNumber ? 'number' : null }, column.show(row));
            if (column.exact !== undefined) {
                cell.title = column.exact(row);
            }
            if (column.bar !== undefined) {
                const share = Math.min(Math.max(column.bar(row), 0), 1);
                cell.classList.add('with-bar');
                cell.style.setProperty('--share', `${(100 * share).toFixed(2)}%`);
            }
            line.append(cell);
        }
        if (this.options.onSelect !== undefined) {
            this.makeSelectable(line, row);
        }
        return line;
    }

    private makeSelectable(line: HTMLTableRowElement, row: T): void {
        line.tabIndex = 0;
        line.classList.add('selectable');
        line.setAttribute('aria-selected', String(row === this.selected));
        line.addEventListener('click', () => this.select(row));
        line.addEventListener('keydown', (event) => {
            if (event.key === 'Enter' || event.key === ' ') {
                event.preventDefault();
                this.select(row);
            } else if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
                const next =
                    event.key === 'ArrowDown'
                        ? line.nextElementSibling
                        : line.previousElementSibling;
                event.preventDefault();
                (next as HTMLElement | null)?.focus();
            }
        });
    }
}

function compare(a: number | string, b: number | string): number {
    if (typeof a === 'number' && typeof b === 'number') {
        return a - b;
    }
    return String(a).localeCompare(String(b));
}
