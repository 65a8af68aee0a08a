/**
 * Rows as text in columns. Widths count code points.
 * @param right indexes of columns that are aligned to the right, as amounts are
 */
export function table(header: readonly string[], rows: readonly (readonly string[])[], right: readonly number[] = []): string {
  const width = header.map((name, index) => Math.max(...[name, ...rows.map((row) => row[index] ?? '')].map((cell) => [...cell].length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, index) => {
        const gap = ' '.repeat((width[index] ?? 0) - [...cell].length);
        return right.includes(index) ? gap + cell : cell + gap;
      })
      .join('  ')
      .trimEnd();
  return `${[header, ...rows].map(line).join('\n')}\n`;
}
