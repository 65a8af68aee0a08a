/** SAF-T read back, by a strict XML parser and by nothing of the code that wrote it. */
import { SaxesParser } from 'saxes';

export interface Xml {
  readonly name: string;
  readonly children: readonly Xml[];
  /** Of an element without children. */
  readonly text: string;
}

/** @throws Error when it is no well-formed XML 1.0 */
export function readXml(text: string): Xml {
  interface Open {
    name: string;
    children: Open[];
    text: string;
  }
  const root: Open = { name: '', children: [], text: '' };
  const stack = [root];
  const parser = new SaxesParser();
  parser.on('error', (error) => {
    throw error;
  });
  parser.on('opentag', ({ name }) => {
    const element = { name, children: [], text: '' };
    stack.at(-1)?.children.push(element);
    stack.push(element);
  });
  parser.on('text', (some) => {
    const element = stack.at(-1);
    if (element !== undefined) element.text += some;
  });
  parser.on('closetag', () => {
    stack.pop();
  });
  parser.write(text).close();
  return root.children[0] as Xml;
}

/** All elements at a path such as `MasterFiles/Customers/Customer`. */
export function all(element: Xml, path: string): Xml[] {
  const [first, ...rest] = path.split('/');
  const found = element.children.filter(({ name }) => name === first);
  return rest.length === 0 ? found : found.flatMap((child) => all(child, rest.join('/')));
}

/** The text at a path; undefined where there is none. @throws Error where there are several */
export function at(element: Xml, path: string): string | undefined {
  const found = all(element, path);
  if (found.length > 1) throw new Error(`${path} is there ${found.length} times`);
  return found[0]?.text;
}
