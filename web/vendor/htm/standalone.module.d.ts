// The types of the file beside it, which is Preact with its hooks and htm in one.
import type { ComponentChildren } from "preact";

export { h, render, Component, createContext } from "preact";
export * from "preact/hooks";
export declare function html(strings: TemplateStringsArray, ...values: unknown[]): any;
export type Content = ComponentChildren;
