/**
 * The 18 columns of the fichier des écritures comptables in their order (Livre des procédures fiscales, article A47 A-1, VII), for the
 * export that writes them and the import that reads them. Files of other programs may lack those that are optional: what is empty in
 * every row, and Debit and Credit, which Montant and Sens may stand for.
 */
const presence = {
  JournalCode: 'required',
  JournalLib: 'required',
  EcritureNum: 'required',
  EcritureDate: 'required',
  CompteNum: 'required',
  CompteLib: 'required',
  CompAuxNum: 'optional',
  CompAuxLib: 'optional',
  PieceRef: 'required',
  PieceDate: 'required',
  EcritureLib: 'required',
  Debit: 'optional',
  Credit: 'optional',
  EcritureLet: 'optional',
  DateLet: 'optional',
  ValidDate: 'optional',
  Montantdevise: 'optional',
  Idevise: 'optional',
} as const;

export type FecColumn = keyof typeof presence;

/** In the order of the article. */
export const fecColumns = Object.keys(presence) as readonly FecColumn[];
/** Without which a file is none. */
export const requiredFecColumns = fecColumns.filter((column) => presence[column] === 'required');
