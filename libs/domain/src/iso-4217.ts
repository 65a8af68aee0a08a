/**
 * The currencies that need no declaration: ISO 4217 codes with their number of minor units (list one, active codes;
 * https://www.six-group.com/en/products-services/financial-information/data-standards.html). Codes for which ISO gives no
 * minor unit (gold, testing, no currency) are left out and must be declared. Replaying a book never asks this table:
 * CurrencyEnabled stores the scale that was in force at first use.
 */
const byScale: Readonly<Record<number, string>> = {
  0: 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF',
  2: `AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY
      COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR
      IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD
      NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP
      SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG`,
  3: 'BHD IQD JOD KWD LYD OMR TND',
  4: 'CLF UYW',
};

const scales = new Map(
  Object.entries(byScale).flatMap(([scale, codes]) => codes.split(/\s+/).map((code) => [code, Number(scale)] as const)),
);

/** Decimals of an ISO 4217 currency, or undefined when the code is none or has no minor unit. */
export function isoScale(code: string): number | undefined {
  return scales.get(code);
}

/** Every code of the table. */
export const isoCodes: readonly string[] = [...scales.keys()];
