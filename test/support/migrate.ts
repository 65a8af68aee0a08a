/** Brings the database at the URL given to this release's schema, for Jest's global setup, which cannot load the libraries itself. */
import { migrateLedger } from '#ledger';

void migrateLedger(process.argv[2] ?? '');
