"""What SMS providers and carriers answer, by call and by receipt; each table names its source and when it was read."""

from imsg_console.explanations.table import Table, group_codes

OURS: Table = group_codes(
    wait="unreachable no_answer not_listed not_taken circuit_open",
    check="unreadable not_answered",
    complete="params_missing",
    operator="no_words country_not_taken",
    template="no_provider params_kind",
    content="charset",
)
"""Explanations of iMSG's own codes for SMS."""

ALIYUN: Table = group_codes(
    number=(
        "isv.MOBILE_NUMBER_ILLEGAL isv.DOMESTIC_NUMBER_NOT_SUPPORTED isv.MOBILE_COUNT_OVER_LIMIT MissingPhoneNumbers"
    ),
    content=(
        "isv.TEMPLATE_MISSING_PARAMETERS isv.TEMPLATE_PARAMS_ILLEGAL isv.INVALID_PARAMETERS "
        "isv.INVALID_JSON_PARAM isv.PARAM_LENGTH_LIMIT isv.PARAM_NOT_SUPPORT_URL isv.BLACK_KEY_CONTROL_LIMIT "
        "isv.SMS_CONTENT_ILLEGAL isv.SMS_CONTENT_MISMATCH_TEMPLATE_TYPE isv.UNSUPPORTED_CONTENT "
        "MissingTemplateParam"
    ),
    operator=(
        "isv.EXTEND_CODE_ERROR isv.DAY_LIMIT_CONTROL isv.MONTH_LIMIT_CONTROL isv.ACCOUNT_NOT_EXISTS "
        "isv.ACCOUNT_ABNORMAL isv.SMS_SIGNATURE_SCENE_ILLEGAL isv.SMS_TEST_NUMBER_LIMIT isv.PRODUCT_UN_SUBSCRIPT "
        "isv.PRODUCT_UNSUBSCRIBE"
    ),
    top_up="isv.OUT_OF_SERVICE isv.AMOUNT_NOT_ENOUGH",
    approval="isv.SMS_TEMPLATE_ILLEGAL",
    signature="isv.SMS_SIGNATURE_ILLEGAL isv.SMS_SIGN_ILLEGAL isv.SIGN_STATE_ILLEGAL",
    allow="isv.DENY_IP_RANGE",
    grant="isp.RAM_PERMISSION_DENY Forbidden.RAM Forbidden NoPermission",
    key=(
        "SignatureDoesNotMatch IncompleteSignature InvalidAccessKeyId.NotFound InvalidAccessKeyId.Inactive "
        "InvalidAccessKeyId"
    ),
    clock="InvalidTimeStamp.Expired InvalidTimeStamp.Format",
    limit="isv.BUSINESS_LIMIT_CONTROL",
    opted_out="isv.CUSTOMER_REFUSED",
    wait="isp.SYSTEM_ERROR isp.GATEWAY_ERROR ServiceUnavailable SignatureNonceUsed Throttling",
)
"""help.aliyun.com/document_detail/101346.html, read November 2026."""

ALIYUN_RECEIPTS: Table = group_codes(
    number="MK:0001 INVALID_NUMBER MOBILE_ACCOUNT_ABNORMAL MOBILE_NOT_ON_SERVICE",
    content="CONTENT_KEYWORD CONTENT_ERROR",
    later="IS_CLOSE SP_UNKNOWN_ERROR",
    opted_out="MOBILE_IN_BLACK USER_REJECT",
    limit="MOBILE_SEND_LIMIT",
    operator="NO_ROUTE",
    signature="PORT_NOT_REGISTERED",
    check="REQUEST_SUCCESS",
)
"""help.aliyun.com/document_detail/101347.html, by third parties' copies of November 2026."""

CARRIERS: Table = dict.fromkeys(("BLACK", "MBBLACK", "TDBLACK", "TSBLACK", "W-BLACK"), "opted_out")
"""What carriers say in receipts (support.huaweicloud.com/api-msgsms/sms_05_0051.html,
help.aliyun.com/document_detail/2679007.html)."""

TENCENT: Table = group_codes(
    content=(
        "FailedOperation.ContainSensitiveWord InvalidParameterValue.ContentLengthLimit "
        "InvalidParameterValue.ProhibitedUseUrlInTemplateParameter "
        "InvalidParameterValue.TemplateParameterLengthLimit FailedOperation InvalidParameter "
        "InvalidParameterValue"
    ),
    operator=(
        "FailedOperation.FailResolvePacket FailedOperation.JsonParseFail "
        "FailedOperation.NotEnterpriseCertification FailedOperation.ProhibitSubAccountUse "
        "InternalError.RestApiInterfaceNotExist InternalError.SigFieldMissing InternalError.SigVerificationFail "
        "InvalidParameter.AppidAndBizId InvalidParameterValue.SdkAppIdNotExist "
        "InvalidParameterValue.UnsupportedTemplateVariable LimitExceeded.AppCountryOrRegionDailyLimit "
        "LimitExceeded.AppDailyLimit LimitExceeded.AppGlobalDailyLimit LimitExceeded.AppMainlandChinaDailyLimit "
        "LimitExceeded.DailyLimit LimitExceeded.PhoneNumberCountLimit "
        "UnsupportedOperation.ChineseMainlandTemplateToGlobalPhone "
        "UnsupportedOperation.ContainDomesticAndInternationalPhoneNumber "
        "UnsupportedOperation.GlobalTemplateToChineseMainlandPhone AuthFailure UnauthorizedOperation "
        "MissingParameter ResourceInsufficient ResourceUnavailable"
    ),
    signature="FailedOperation.MissingSignature FailedOperation.SignatureIncorrectOrUnapproved",
    approval=(
        "FailedOperation.TemplateIdNotExist FailedOperation.TemplateIncorrectOrUnapproved "
        "FailedOperation.TemplateUnapprovedOrNotExist"
    ),
    clock="InternalError.RequestTimeException AuthFailure.SignatureExpire",
    top_up="FailedOperation.InsufficientBalanceInSmsPackage UnauthorizedOperation.ServiceSuspendDueToArrears",
    wait="FailedOperation.MarketingSendTimeConstraint LimitExceeded.GlobalSmsSendingRateLimit RequestLimitExceeded",
    opted_out="FailedOperation.PhoneNumberInBlacklist",
    number=(
        "FailedOperation.PhoneNumberParseFail InvalidParameterValue.IncorrectPhoneNumber "
        "LimitExceeded.AppCountryOrRegionInBlacklist UnsupportedOperation.UnsupportedRegion UnsupportedOperation"
    ),
    template=(
        "FailedOperation.TemplateParamSetNotMatchApprovedTemplate InvalidParameterValue.TemplateParameterFormatError"
    ),
    check=(
        "InternalError.OtherError InternalError.ParseBackendResponseFail InternalError.SendAndRecvFail "
        "InternalError.Timeout InternalError.UnknownError InternalError"
    ),
    limit=(
        "LimitExceeded.DeliveryFrequencyLimit LimitExceeded.PhoneNumberDailyLimit "
        "LimitExceeded.PhoneNumberOneHourLimit LimitExceeded.PhoneNumberSameContentDailyLimit "
        "LimitExceeded.PhoneNumberThirtySecondLimit LimitExceeded"
    ),
    key="AuthFailure.InvalidSecretId AuthFailure.SecretIdNotFound AuthFailure.SignatureFailure",
    allow="UnauthorizedOperation.RequestIpNotInWhitelist",
    grant="AuthFailure.UnauthorizedOperation UnauthorizedOperation.RequestPermissionDeny",
)
"""cloud.tencent.com/document/api/382/59177 and the codes that tencentcloud-sdk-python-sms 3.1.153 names, read November
2026. Of a code that is not here its class is explained: the part before the dot."""

VOLCENGINE: Table = group_codes(
    key="RE:0000 InvalidAccessKey InvalidAuthorization",
    operator="RE:0001 RE:0002 RE:0003 RE:0012 InvalidActionOrVersion",
    signature="RE:0004",
    approval="RE:0005",
    allow="RE:0007",
    clock="InvalidTimestamp",
    grant="AccessDenied",
    number="RE:0006 RE:0011",
    template="RE:0009",
    top_up="RE:0010",
    wait="RE:0013 RE:0500 FlowLimitExceeded",
)
"""volcengine.com/docs/6361/173288, read November 2026; those without RE: are of its gateway (unverified)."""

TWILIO: Table = group_codes(
    key="20003",
    top_up="20005 30002",
    operator="20006 20403 21212 21408 21603 21606 21608 21659 21660 21661 21703 21704 21705 90010",
    wait="20429 20500 20503 21611",
    number="21211 21217 21401 21421 21612 21614 21635 30003 30004 30005 30006",
    content="21602 21605 21617 21619 30007",
    opted_out="21610",
    later="30001 30008",
)
"""twilio.com/docs/api/errors, read November 2026; 30001 to 30008 are of status callbacks."""

DESCRIBED: Table = group_codes(
    operator=(
        "chuanglan:108 chuanglan:112 chuanglan:113 chuanglan:119 chuanglan:120 chuanglan:128 chuanglan:129 "
        "chuanglan:130 chuanglan:134 chuanglan:136 luosimao:-11 luosimao:-32 luosimao:-43 smsbao:42 "
        "yunpian:16 yunpian:55 yunpian:-4 yunpian:-6 yunpian:-11 yunpian:-57 yunpian:-62 mas:IllegalMac "
        "mas:NoSignId mas:TooManyMobiles"
    ),
    key="chuanglan:101 chuanglan:102 luosimao:-10 smsbao:30 smsbao:40 yunpian:-1 mas:InvalidUsrOrPwd",
    allow="chuanglan:117 luosimao:-50 smsbao:43 yunpian:-3 mas:NOT_WHITE_IP",
    grant="chuanglan:118 yunpian:-2",
    signature="chuanglan:116 luosimao:-34 yunpian:15 yunpian:18 mas:IllegalSignId",
    approval="yunpian:7 yunpian:60",
    wait="chuanglan:103 chuanglan:104 chuanglan:110 yunpian:13 yunpian:-5",
    content=(
        "chuanglan:105 chuanglan:106 chuanglan:115 chuanglan:123 luosimao:-30 luosimao:-31 luosimao:-33 smsbao:-1 "
        "smsbao:50 yunpian:1 yunpian:2 yunpian:4 yunpian:14 mas:InvalidMessage"
    ),
    number=("chuanglan:107 chuanglan:133 luosimao:-40 smsbao:51 yunpian:20 yunpian:23 yunpian:56 mas:InvalidMobile"),
    top_up="chuanglan:109 chuanglan:111 luosimao:-20 smsbao:41 yunpian:3",
    template="chuanglan:124 chuanglan:125 yunpian:5 yunpian:58",
    limit=("chuanglan:135 luosimao:-42 yunpian:8 yunpian:9 yunpian:17 yunpian:22 yunpian:33 yunpian:43 yunpian:53"),
    opted_out="luosimao:-41 yunpian:10 yunpian:11",
    check="yunpian:-50",
)
"""The descriptions that come with iMSG (`imsg_sms.http_providers`), each by its name, since bare numbers mean another
thing at each; the files name their sources."""

CODES: Table = {**OURS, **CARRIERS, **ALIYUN, **ALIYUN_RECEIPTS, **TENCENT, **VOLCENGINE, **TWILIO, **DESCRIBED}
