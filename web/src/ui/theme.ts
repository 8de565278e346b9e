// SPDX-License-Identifier: MIT

/** Light or dark: the system's choice until the reader makes one. */

type Choice = 'auto' | 'light' | 'dark';

const KEY = 'tarn-report-theme';
const listeners: (() => void)[] = [];
const system = matchMedia('(prefers-color-scheme: dark)');
let choice: Choice = 'auto';

export function startTheme(): void {
    const stored = load();
    if (stored === 'light' || stored === 'dark') {
        choice = stored;
    }
    system.addEventListener('change', apply);
    apply();
}

export function isDark(): boolean {
    return choice === 'dark' || (choice === 'auto' && system.matches);
}

export function toggleTheme(): void {
    choice = isDark() ? 'light' : 'dark';
    store(choice);
    apply();
}

/** Calls the listener when colours have changed: canvases have to be drawn anew. */
export function onTheme(listener: () => void): void {
    listeners.push(listener);
}

/** The value of a colour of the style sheet. */
export function colour(name: string): string {
    return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function apply(): void {
    document.documentElement.dataset['theme'] = isDark() ? 'dark' : 'light';
    for (const listener of listeners) {
        listener();
    }
}

// A page from a file has no storage in some browsers; the choice then lasts as long as the page.
function load(): string | null {
    try {
        return localStorage.getItem(KEY);
    } catch {
        return null;
    }
}

function store(value: Choice): void {
    try {
        localStorage.setItem(KEY, value);
    } catch {
        return;
    }
}
