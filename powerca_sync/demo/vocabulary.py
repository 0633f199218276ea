"""The words of the generated office: invented people and firms, the usual work of an Indian firm of accountants.

Mail addresses end in `.example` and telephone numbers begin with an unassigned prefix.
"""

from typing import Final

ORGANISATIONS: Final = ("Rao Iyer & Associates", "RIA Advisory Services LLP")
LOCATION: Final = "Chennai - T. Nagar"
CONCERNS: Final = (
    "Rao Iyer & Associates, Chartered Accountants",
    "RIA Tax Consultants",
    "RIA Advisory Services LLP",
    "Iyer Payroll Bureau",
)

#: The office's people, by staff number from `FIRST_STAFF` upwards.
STAFF: Final = (
    "Lakshmi Iyer", "Venkatesh Rao", "Priya Nair", "Arun Kumar S", "Fatima Sheikh", "Joseph D'Souza",
    "Meenakshi Sundaram", "Rahul Deshpande", "Kavitha Reddy", "Imran Khan", "Sneha Kulkarni", "Ganesh Babu",
    "Anjali Menon", "Suresh Pillai", "Divya Krishnan", "Mohammed Rafi",
)  # fmt: skip

FOUNDERS: Final = (
    "Balaji", "Venkateswara", "Annapurna", "Mahalakshmi", "Sai Krupa", "Ganga", "Kaveri", "Saraswathi", "Vinayaka",
    "Murugan", "Padmavathi", "Bharat", "Gupta", "Agarwal", "Mehta", "Patel", "Shah", "Chettiar", "Nadar", "Reddy",
    "Naidu", "Menon", "Kulkarni", "D'Souza", "Fernandes", "Khan", "Ansari", "Gill", "Banerjee", "Bose", "Das", "Jain",
    "Oswal", "Pillai", "Raghavan", "Subramaniam", "Thakur", "Verma", "Yadav", "Joshi",
)  # fmt: skip
TRADES: Final = (
    "Textiles", "Agro Foods", "Steel Rolling Mills", "Pharma", "Jewellers", "Constructions", "Logistics", "Exports",
    "Electricals", "Plastics", "Hospitals", "Educational Trust", "Granites", "Spinning Mills", "Auto Components",
    "Traders", "Cold Storage", "Printers", "Softwares", "Caterers",
)  # fmt: skip
FORMS: Final = ("Pvt Ltd", "LLP", "& Sons", "& Co", "Ltd", "Enterprises", "(Firm)", "HUF")
#: Clients whose names are not ASCII, or have quotes, tabs and backslashes.
UNUSUAL_CLIENTS: Final = (
    "श्री बालाजी ट्रेडर्स",
    "अन्नपूर्णा भोजनालय प्रा. लि.",
    "ஸ்ரீ முருகன் ஸ்டோர்ஸ்",
    'The "Madras" Coffee House',
    "Café Pondichéry LLP",
    "A\\B Packaging (formerly C\\D)",
    "Tab\tSeparated Systems Pvt Ltd",
    "₹ Rupee Finance Ltd",
    "Sweet Corner 🍬",
    "Null & Void Scrap Traders",
)

#: Number and name of each kind of work for a client; its letter is `job_nature`.
JOBS: Final = (
    ("A", "Statutory audit"), ("A", "Tax audit u/s 44AB"), ("A", "Internal audit"), ("G", "GST annual return GSTR-9"),
    ("G", "GST monthly returns"), ("T", "Income tax return"), ("T", "TDS returns 24Q / 26Q"),
    ("R", "ROC annual filing"), ("R", "Incorporation of company"), ("B", "Book keeping"), ("P", "Payroll, PF and ESI"),
    ("C", "Project report for bank"), (" ", "Certificate"),
)  # fmt: skip
PLACES_OF_WORK: Final = ("OFFICE", "CLIENT SITE", "REMOTE", None, None, None)

#: The steps of a job; a step's number is its index here plus `FIRST_TASK`. At most 40 characters.
TASKS: Final = (
    "Engagement letter", "KYC and client acceptance", "Collect trial balance", "Collect bank statements",
    "Bank reconciliation", "Vouching of purchases", "Vouching of sales", "Vouching of expenses", "Cash verification",
    "Stock verification", "Fixed assets register", "Depreciation working", "Loans and advances", "Debtors confirmation",
    "Creditors confirmation", "Statutory dues", "TDS reconciliation 26AS", "GST reconciliation 2A/2B vs books",
    "E-way bill check", "ITC eligibility", "Prepare GSTR-1", "Prepare GSTR-3B", "Payroll working", "PF, ESI challans",
    "Related party transactions", "Minutes and registers", "Board resolution", "Provision for tax", "Deferred tax",
    "Draft financial statements", "Notes to accounts", "CARO report", "Form 3CD", "Tax computation", "Partner review",
    "Client discussion", "UDIN generation", "Filing and acknowledgement", "Fee note", "Archive working papers",
)  # fmt: skip
CHECKS: Final = (
    "Opening balances agree with last year's audited accounts", "Casts and cross-casts checked", "Approval on file",
    "Supporting bills seen for amounts above ₹ 10,000", "Cut-off tested around 31 March", "Ledger scrutinised",
    "Confirmations received and matched", "Rates checked against the Act", "Challans dated before the due date",
    "Interest u/s 234B and 234C computed", "Difference explained by client", "Signed copy scanned", "GSTIN verified",
    "Board approval dated before payment", "Physical count sheet signed", "Previous year figures regrouped",
    "Disclosure in notes", "Documents returned to client", "Reviewed by partner", "Entered in the register",
)  # fmt: skip
REMINDERS: Final = (
    "GSTR-3B due", "TDS payment due", "Advance tax instalment", "Client meeting", "ROC form AOC-4", "DSC renewal",
    "Fee follow-up", "Notice u/s 143(2) reply", "Stock audit visit", "PF return",
)  # fmt: skip
REMINDER_TYPES: Final = ("Statutory", "Client", "Internal")
RESPONSES: Final = ("Done", "Will do tomorrow", "Client did not pick up", "Challan paid ₹ 18,450", "नोट किया", "👍")

#: Text that a careless loader corrupts. No longer than 50 characters, the shortest column that holds notes.
NOTES: Final = (
    "Called client, documents by Friday",
    "Difference of ₹ 1,250 in bank reco",
    "खाता मिलान पूरा हुआ",
    "Password for PDF is DOB\\PAN",
    "Qty\tRate\tAmount to be rechecked",
    'Client said "urgent", mail to follow',
    "Line one\nLine two",
    "\\N is not NULL",
    "Done 👍 waiting for OTP",
    "",
    "  leading and trailing blanks  ",
)
