// SPDX-License-Identifier: MIT

import { button, el } from './dom';

/** A part of the page that fills itself only while it is seen. */
export interface View {
    readonly root: HTMLElement;
    /** Brings it up to date; called when it is shown, and when the range changes while it is. */
    update(): void;
}

export interface Tab {
    id: string;
    title: string;
    view: View;
}

/** Tabs after the ARIA practice: arrows move, one panel is shown. */
export class Tabs {
    readonly root: HTMLElement;
    private readonly tabs: Tab[];
    private readonly buttons: HTMLButtonElement[];
    private readonly panels: HTMLElement[];
    private readonly stale: boolean[];
    private current = 0;

    constructor(tabs: Tab[]) {
        this.tabs = tabs;
        this.stale = tabs.map(() => true);
        this.buttons = tabs.map((tab, i) =>
            button(tab.title, () => this.show(i), {
                role: 'tab',
                id: `tab-${tab.id}`,
                'aria-controls': `panel-${tab.id}`,
            }),
        );
        this.panels = tabs.map((tab) =>
            el(
                'section',
                {
                    role: 'tabpanel',
                    id: `panel-${tab.id}`,
                    'aria-labelledby': `tab-${tab.id}`,
                    hidden: true,
                },
                tab.view.root,
            ),
        );
        const bar = el(
            'div',
            { class: 'tabs', role: 'tablist', 'aria-label': 'Views' },
            ...this.buttons,
        );
        bar.addEventListener('keydown', (event) => this.onKey(event));
        this.root = el('div', { class: 'views' }, bar, ...this.panels);
    }

    /** What is shown is brought up to date now, the others when they are shown. */
    invalidate(): void {
        this.stale.fill(true);
        this.refresh();
    }

    show(index: number): void {
        this.current = index;
        this.buttons.forEach((item, i) => {
            item.setAttribute('aria-selected', String(i === index));
            item.tabIndex = i === index ? 0 : -1;
            this.panels[i].hidden = i !== index;
        });
        this.refresh();
    }

    private refresh(): void {
        if (this.stale[this.current]) {
            this.stale[this.current] = false;
            this.tabs[this.current].view.update();
        }
    }

    private onKey(event: KeyboardEvent): void {
        const count = this.tabs.length;
        const targets: Record<string, number> = {
            ArrowRight: (this.current + 1) % count,
            ArrowLeft: (this.current + count - 1) % count,
            Home: 0,
            End: count - 1,
        };
        const target = targets[event.key];
        if (target !== undefined) {
            event.preventDefault();
            this.show(target);
            this.buttons[target].focus();
        }
    }
}
