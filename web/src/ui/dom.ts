// SPDX-License-Identifier: MIT

/**
 * Elements, made in one expression. Text is always text: names from a recording are never read as
 * HTML.
 */

export type Child = Node | string | null;

type Attributes = Record<string, string | number | boolean | null>;

export function el<K extends keyof HTMLElementTagNameMap>(
    tag: K,
    attributes: Attributes = {},
    ...children: Child[]
): HTMLElementTagNameMap[K] {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
        if (value === true) {
            element.setAttribute(name, '');
        } else if (value !== null && value !== false) {
            element.setAttribute(name, String(value));
        }
    }
    fill(element, ...children);
    return element;
}

/** Replaces what is in the element. */
export function fill(element: Element, ...children: Child[]): void {
    element.replaceChildren(...children.filter((child): child is Node | string => child !== null));
}

export function button(
    label: string,
    onClick: () => void,
    attributes: Attributes = {},
): HTMLButtonElement {
    const element = el('button', { type: 'button', ...attributes }, label);
    element.addEventListener('click', onClick);
    return element;
}

/** A labelled choice among a few options. */
export function chooser<T extends string>(
    label: string,
    options: readonly (readonly [T, string])[],
    onChange: (value: T) => void,
): HTMLElement {
    const select = el('select');
    for (const [value, text] of options) {
        select.append(el('option', { value }, text));
    }
    select.addEventListener('change', () => onChange(select.value as T));
    return el('label', { class: 'chooser' }, el('span', {}, label), select);
}

/** Buttons of which one is pressed. */
export function segments<T extends string>(
    label: string,
    options: readonly (readonly [T, string])[],
    initial: T,
    onChange: (value: T) => void,
): HTMLElement {
    const group = el('div', { class: 'segments', role: 'group', 'aria-label': label });
    for (const [value, text] of options) {
        const item = button(
            text,
            () => {
                for (const other of group.children) {
                    other.setAttribute('aria-pressed', String(other === item));
                }
                onChange(value);
            },
            { 'data-value': value, 'aria-pressed': String(value === initial) },
        );
        group.append(item);
    }
    return group;
}

/** Calls `run` at most once a frame, however often it is asked for. */
export function oncePerFrame(run: () => void): () => void {
    let isPending = false;
    return () => {
        if (!isPending) {
            isPending = true;
            requestAnimationFrame(() => {
                isPending = false;
                run();
            });
        }
    };
}
